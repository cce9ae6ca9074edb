"""Keep onnxruntime from sending usage data; imported before anything that imports onnxruntime.

onnxruntime 1.32 stores a device id in the home directory and, in a process that lives a minute,
sends usage data out. It reads ``ORT_DISABLE_TELEMETRY`` when it is loaded. Whoever wants to send
the data sets ``ORT_DISABLE_TELEMETRY=0`` before.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
