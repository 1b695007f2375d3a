"""Pictures of the dashboards, drawn with Grafana's own component library in a headless Chromium, without Grafana."""
