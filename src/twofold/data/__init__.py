"""From what the user names to sources of images, and from sources to the crops of a step."""
