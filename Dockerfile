# The gateway in a container: built with everything, run with the least. The base is an exact tag: an update is a change here.

FROM node:24.11.1-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No package needs its install script to build or to run.
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY scripts ./scripts
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24.11.1-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
USER node
# Webhooks, ops endpoint, embedded MQTT broker.
EXPOSE 8080 9090 1883
# The ops port of a configuration that changed it is named in WAYPOST_OPS_PORT.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.WAYPOST_OPS_PORT || 9090}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Without a file, on WAYPOST_ variables alone: docker run … waypost node dist/cli.js start
# A larger young generation: most of what a message needs is garbage a millisecond later (npm run bench: about 10 % more messages).
CMD ["node", "--max-semi-space-size=64", "dist/cli.js", "start", "--config", "/etc/waypost/waypost.yaml"]
