"""What is answered over HTTP: the status page, which reads only and shows no payload; webhooks and triggers of schedules;
realtime channels."""
