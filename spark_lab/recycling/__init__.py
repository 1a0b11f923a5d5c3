"""From graded rollouts to judge and reflection items, and the buffer that they wait in."""
