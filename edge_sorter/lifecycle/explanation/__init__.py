"""What drove a box: heat maps for a picture, or for one decision that a line made.

Contract: `occlusion` asks the running detector itself, whatever engine it has, by covering parts of the picture;
`activation` looks inside the ONNX file; `gradient` needs the checkpoint and torch. All three return heat maps over the
picture that `draw` lays over it.
"""
