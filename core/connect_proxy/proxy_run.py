"""One run: resolve, render, launch, supervise (filled next)."""
