"""What leaves twofold: vectors on disk, backbones for other programs."""
