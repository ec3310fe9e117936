import sys

sys.exit("I end whoever imports me")
