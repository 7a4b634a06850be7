# facever in a container; it needs no network once it is built.
#
#     docker build -t facever .
#     docker run --rm --network none -v "$PWD:/data" facever verify a.jpg b.jpg
#
# To write results into the mounted folder, run as yourself: --user "$(id -u):$(id -g)".

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE LICENSE-weights.md ./
COPY facever ./facever
COPY models ./models
COPY recipes ./recipes
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
# An index of CPU-only torch builds. Without one pip takes the default build, which brings several GB of CUDA along.
ARG TORCH_INDEX=
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; \
    fi
# Mounted rather than copied, so that the wheel leaves no layer behind.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl
RUN useradd --create-home --uid 1000 facever
USER facever
WORKDIR /data
ENTRYPOINT ["facever"]
CMD ["--help"]
