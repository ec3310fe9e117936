"""What the agent's files say: from text to frozen values."""
