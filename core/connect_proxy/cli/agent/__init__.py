"""The two ways of ``connect-proxy agent``: managed proxies, and the embedded agent."""
