"""Everything changes at once, for as long as one likes: nothing is lost, nothing is left behind."""
