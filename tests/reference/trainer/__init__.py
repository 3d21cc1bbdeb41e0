"""What the scripts that hold the stages from outside share. Nothing here is of the project: artifacts are read as Parquet
files, views rendered by Pillow and torchvision, networks and rules of descent are PyTorch's."""
