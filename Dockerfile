# cleanplate in a container; docs/releasing.md says how to build and run it.
#   docker build -t cleanplate .                                     processors
#   docker build --build-arg DEVICE=cu130 -t cleanplate:cuda .       NVIDIA GPUs
ARG PYTHON=3.12.8-slim-bookworm

FROM python:${PYTHON} AS build
ARG DEVICE=cpu
WORKDIR /source
COPY constraints.txt pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
# Torch first, from its own index, which has a build for each DEVICE; pip then keeps it.
RUN python -m venv /opt/cleanplate \
    && /opt/cleanplate/bin/pip install --no-cache-dir -c constraints.txt \
       --index-url "https://download.pytorch.org/whl/${DEVICE}" torch \
    && /opt/cleanplate/bin/pip install --no-cache-dir -c constraints.txt '.[demo,text,web]'

FROM python:${PYTHON}
RUN useradd --create-home --uid 10001 cleanplate
COPY --from=build /opt/cleanplate /opt/cleanplate
# OpenCV and PyAV need no system packages; outputs go to /work and /tmp.
ENV PATH=/opt/cleanplate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /work
USER 10001
ENTRYPOINT ["cleanplate"]
CMD ["--help"]
