# The image of the daemon: only what it runs with, laid out in build stages. See docs/image.md.
#
# Any Debian 12 will do as base, also one that has the packages below already: then nothing is installed from Debian.
# To pin it by digest: --build-arg BASE_IMAGE=debian@sha256:…
ARG BASE_IMAGE=debian:12.12-slim

# -- what is needed to build, and what parts of go into the image
FROM ${BASE_IMAGE} AS tools
ARG SOURCE_DATE_EPOCH=1767225600
ENV LC_ALL=C.UTF-8 PYTHONHASHSEED=0 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
RUN for package in python3 python3-venv git openssh-client gpg gpg-agent tini ca-certificates; do \
      dpkg --status "$package" >/dev/null 2>&1 || missing="$missing $package"; \
    done; \
    if [ -n "$missing" ]; then \
      apt-get update && \
      DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing; \
    fi
COPY image/build-requirements.lock image/rootfs.py /build/
RUN python3 -m venv /build/tools && \
    /build/tools/bin/pip install --quiet --require-hashes --only-binary=:all: --requirement /build/build-requirements.lock

# -- the packages that the program imports: a virtual environment without pip
FROM tools AS packages
COPY image/requirements.lock /build/
RUN python3 -m venv --without-pip /opt/reconciler && \
    /build/tools/bin/pip --python /opt/reconciler/bin/python install --quiet --no-compile --no-deps --require-hashes \
      --only-binary=:all: --requirement /build/requirements.lock && \
    python3 -P /build/rootfs.py trim /opt/reconciler

# -- Python, git, ssh, gpg, and the libraries that those and the packages are linked to
FROM packages AS system
RUN python3 -P /build/rootfs.py system /out /opt/reconciler

# -- the project itself
FROM packages AS project
COPY pyproject.toml README.md LICENSE /build/source/
COPY manifests /build/source/manifests
COPY reconciler /build/source/reconciler
RUN /build/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/wheel /build/source && \
    /build/tools/bin/pip --python /opt/reconciler/bin/python install --quiet --no-compile --no-deps --root /out \
      /build/wheel/*.whl && \
    python3 -P /build/rootfs.py settle /out

# -- the image
FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="reconciler" \
      org.opencontainers.image.description="Blue/green releases on Kubernetes driven by Git alone" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=system /out /
COPY --from=packages /opt/reconciler /opt/reconciler
COPY --from=project /out /
ENV PATH=/opt/reconciler/bin:/usr/bin HOME=/var/lib/reconciler PYTHONUTF8=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/reconciler
USER 65532:65532
ENTRYPOINT ["tini", "--", "reconciler"]
