# Fetches what is new every ten minutes, over TLS, from a server whose name the resolver knows.
import os
import time

URL = "https://updates.example.org/latest"
PAUSE_SECONDS, RETRY_SECONDS = 600, 5
FETCH = ["wget", "-nv", "--tries=1", "--timeout=20", "--ca-certificate=/etc/updater/ca.pem"]

while True:
    status = os.spawnv(os.P_WAIT, "/usr/bin/wget", [*FETCH, "--output-document=/run/latest", URL])
    if status == 0:
        print(f"fetched {os.stat('/run/latest').st_size} bytes", flush=True)
    time.sleep(PAUSE_SECONDS if status == 0 else RETRY_SECONDS)
