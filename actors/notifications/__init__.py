"""The notifications domain: what an application tells its users, kept until they have read it."""
