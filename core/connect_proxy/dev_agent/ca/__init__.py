"""The embedded agent's certificate authority: roots, leaves, rotation. Keys live in memory only."""
