# Stand-ins for images of Docker Hub, out of Debian 13's packages, for machines that reach no registry of images.
# Built by ./standins only, FROM a base that it makes with debootstrap. Nothing of this goes into what users build.
ARG BASE
FROM ${BASE} AS base
# the context is what ./standins found out about this machine: its CA bundle, apt's fetch settings
COPY . /
ARG DEBIAN_FRONTEND=noninteractive

# ---- python:3.13-slim: the interpreter is Debian's, under the paths of the real image too
FROM base AS python
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends python3 python3-venv python3-pip netbase tzdata >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/lib/python3*/EXTERNALLY-MANAGED \
 && ln -s /usr/bin/python3 /usr/local/bin/python \
 && ln -s /usr/bin/python3 /usr/local/bin/python3 \
 && ln -s /usr/bin/python3 /usr/local/bin/python3.13 \
 && ln -s /usr/bin/pip3 /usr/local/bin/pip \
 && ln -s /usr/bin/pip3 /usr/local/bin/pip3 \
 && python -c 'import sys, venv, ensurepip, sqlite3, ssl; assert sys.version_info[:2] == (3, 13), sys.version'
CMD ["python3"]

# ---- debian:13-slim: nothing more than the base
FROM base AS debian
CMD ["bash"]

# ---- eclipse-mosquitto: uid 1883, same folders, entry point and command as the real image
FROM base AS mosquitto
RUN groupadd --gid 1883 mosquitto \
 && useradd --uid 1883 --gid 1883 --no-create-home --home-dir /var/empty --shell /usr/sbin/nologin mosquitto \
 && apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
 && mkdir -p /mosquitto/config /mosquitto/data /mosquitto/log \
 && printf '# nothing set: local connections only\n' >/mosquitto/config/mosquitto.conf \
 && chown -R mosquitto:mosquitto /mosquitto \
 && printf '%s\n' '#!/bin/sh' 'set -e' \
      'if [ "$(id -u)" = 0 ] && [ -d /mosquitto ]; then chown -R mosquitto:mosquitto /mosquitto || true; fi' \
      'exec "$@"' >/docker-entrypoint.sh \
 && chmod 755 /docker-entrypoint.sh
VOLUME ["/mosquitto/data", "/mosquitto/log"]
EXPOSE 1883
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]

# ---- prom/prometheus: /bin/prometheus and /bin/promtool, user nobody, same entry point, command and folders
FROM base AS prometheus
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends prometheus >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/lib/prometheus \
 && mkdir -p /prometheus \
 && chown -R 65534:65534 /prometheus /etc/prometheus \
 && test -x /bin/prometheus && test -x /bin/promtool
USER 65534
WORKDIR /prometheus
VOLUME ["/prometheus"]
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]

# ---- prom/alertmanager: /bin/alertmanager and /bin/amtool, user nobody, same entry point, command and folders
FROM base AS alertmanager
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends prometheus-alertmanager >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/lib/prometheus \
 && ln -s /usr/bin/prometheus-alertmanager /bin/alertmanager \
 && mkdir -p /alertmanager /etc/alertmanager \
 && chown -R 65534:65534 /alertmanager /etc/alertmanager \
 && test -x /bin/alertmanager && test -x /bin/amtool
USER 65534
WORKDIR /alertmanager
VOLUME ["/alertmanager"]
EXPOSE 9093
ENTRYPOINT ["/bin/alertmanager"]
CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]
