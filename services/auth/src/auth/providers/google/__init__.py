"""Google's word for who somebody is: its published keys, and the ID tokens they verify."""
