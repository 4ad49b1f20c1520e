# Asks the network's resolver what the updater asks, and tells it what that one said: a question at
# a time, from a port that nobody knows beforehand. Whoever could answer instead is not let in.
import select
import socket

UPSTREAM = ("192.0.2.53", 53)
PATIENCE_SECONDS = 3


def answer(question):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(UPSTREAM)
        asker.send(question)
        if select.select([asker], [], [], PATIENCE_SECONDS)[0]:
            return asker.recv(4096)
    return b""


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("169.254.77.3", 53))
print("at your service", flush=True)
while True:
    question, client = server.recvfrom(4096)
    try:
        told = answer(question)
    except OSError as error:
        print(error, flush=True)
        continue
    if told:
        server.sendto(told, client)
