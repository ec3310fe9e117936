"""What the tests share: real programs, free ports, certificates, small servers."""
