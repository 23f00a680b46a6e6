# syntax=docker/dockerfile:1
# escape=\
# check=skip=JSONArgsRecommended;error=true

# VERSION is the release to build
ARG VERSION=1.2.3 SUFFIX="-a b" EMPTY= NAKED
FROM --platform=$BUILDPLATFORM golang:${VERSION%.*}-alpine AS build
# a comment
WORKDIR /src
ENV A=1 B="two words" C=three\ words D=$A
ENV LEGACY value with spaces
LABEL org.example.a="b" 'quoted key'=c
ARG TARGETOS TARGETARCH
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
COPY --link --chown=1000:1000 --chmod=u=rwX,go=rX --exclude=*.md --exclude=**/test go.mod go.sum ./
COPY ["with space", "/dest/"]
ADD --checksum=sha256:abc --keep-git-dir=true --unpack https://example.com/x.tar.gz /x/
RUN --mount=type=cache,target=/root/.cache,sharing=locked,id=go-$TARGETARCH \
    --mount=type=secret,id=token,env=TOKEN,required \
    --mount=type=bind,from=build,source=/a,target=/b,rw \
    --network=none --security=sandbox \
    # inside
    go build \

    -o /out ./... && echo "${A:-x}" '$B'
RUN ["go", "version"]
RUN <<EOT bash
set -e
echo "$A" \
  done
EOT
RUN cat <<-ONE > /a && cat 3<<"TWO" > /b
	tabs $A
	ONE
literal $A
TWO
COPY <<one.txt <<'two.txt' /files/
hello $A
one.txt
literal $A
two.txt

FROM scratch
COPY --from=build --parents /out/./bin /bin/
ONBUILD RUN <<EOF
trigger
EOF
onbuild COPY . /app
VOLUME /data /more
VOLUME ["/json"]
EXPOSE 80 8000-8010/tcp 53/UDP
USER app:app
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=1m30s --start-period=1h --start-interval=100ms --retries=3 CMD curl -f http://localhost/ || exit 1
HEALTHCHECK NONE
MAINTAINER someone
ENTRYPOINT ["/bin/app", "\u00e9"]
CMD exec app $A
