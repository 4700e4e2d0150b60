"""The room where models are made: data set, training, export, int8 quantisation, evaluation.

Contract: the only room that may import torch, ultralytics or onnx, always inside functions, so that importing it costs
nothing; it may use the runtime rooms, and no runtime room ever imports it.

ultralytics is AGPL-3.0. It is a tool of this room only; the runtime neither installs nor imports it.
"""
