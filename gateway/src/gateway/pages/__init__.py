"""The pages that describe the API, all of them made from its OpenAPI document at start."""
