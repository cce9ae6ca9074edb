# Training on a machine with an NVIDIA GPU:
#   docker build -t cadstn .
#   mkdir -p runs      # else Docker makes it, as root's
#   docker run --gpus all --rm --user "$(id -u)" -v "$PWD/runs:/runs" cadstn \
#       train compact --out /runs/compact
# The wheel of PyTorch brings its own CUDA libraries; the machine needs the driver and NVIDIA's
# container toolkit. For a machine without a GPU add:
#   --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu
FROM python:3.12-slim-bookworm
ARG TORCH_INDEX=https://pypi.org/simple

# g++: torch.compile, which makes rendering and training several times faster.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /cadstn
COPY constraints.txt pyproject.toml README.md LICENSE ./
# The largest layer first: it changes with constraints.txt alone.
RUN pip install --no-cache-dir --index-url "${TORCH_INDEX}" -c constraints.txt torch
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt '.[train,many]' \
    && useradd --create-home cadstn \
    && install --directory --owner=cadstn /runs

USER cadstn
WORKDIR /runs
ENTRYPOINT ["cadstn"]
CMD ["--help"]
