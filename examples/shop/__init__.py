"""The example shop: five services, each with its own contract, code, database and team."""
