"""What dead processes left: found, taken over, ended and sent."""
