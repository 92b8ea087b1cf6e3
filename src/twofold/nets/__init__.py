"""Networks: timm backbones, heads, and what follows slowly."""
