"""Where auth's facts are kept: tables, migrations and one repository per aggregate."""
