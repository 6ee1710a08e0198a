# One image for web, workers, beats, migrations and ./run manage's commands. The base is pinned by its minor version;
# docs/operations.md says how to pin it by digest.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements/base.txt /tmp/base.txt
RUN /opt/venv/bin/pip install --require-hashes --only-binary=:all: -r /tmp/base.txt
WORKDIR /srv/dataunion
COPY manage.py LICENSE NOTICE ./
COPY dataunion dataunion
COPY dataunion_project dataunion_project
COPY partners partners
COPY verify verify
COPY templates templates
COPY deploy/healthy.py deploy/initiate.py deploy/
# To collect static files, settings must load: as an embedded instance's, whose secrets are gone before the layer ends.
RUN DATAUNION_VAR_DIR=/tmp/var /opt/venv/bin/python manage.py collectstatic --noinput \
    && mkdir var && mv /tmp/var/static var/static && rm -r /tmp/var
RUN /opt/venv/bin/python -m compileall -q .

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 dataunion && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin dataunion
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    DATAUNION_VAR_DIR=/srv/dataunion/var GRANIAN_HOST=0.0.0.0 GRANIAN_PORT=8000
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/dataunion /srv/dataunion
WORKDIR /srv/dataunion
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "deploy/healthy.py", "web"]
CMD ["granian", "--interface", "wsgi", "dataunion_project.wsgi:application"]
