data_dir = "/nonexistent"
