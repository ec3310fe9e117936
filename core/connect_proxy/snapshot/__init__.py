"""Everything a data plane needs of one proxy, kept fresh. Public: backends may import all of it."""
