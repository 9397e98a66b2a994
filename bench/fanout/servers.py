"""The servers: their commands, their URLs, and the packages they need."""
import os
import shutil
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "..", "peers")
PORT, BEHIND = 9280, 9281
URL = f"http://127.0.0.1:{PORT}"
LISTEN = ["--listen", f"127.0.0.1:{PORT}"]
TOPICS = ["--url", URL + "/topics/t{topic}", "--publish", URL + "/topics/t{topic}"]
PLAIN = ["--url", URL + "/sub/t{topic}", "--publish", URL + "/pub/t{topic}"]

# Pushpin takes an event in a JSON envelope. The data in it has the same size as with the other servers.
GRIP = r'{"items":[{"channel":"t{topic}","formats":{"http-stream":{"content":"data: {mark}{pad}\n\n"}}}]}'
GRIP_EXTRA_BYTES = len(GRIP) - len("{mark}{pad}")


@dataclass(frozen=True)
class Server:
    """In a command, `@NAME.conf@` is a file of `peers/` with its placeholders replaced, `@DIR@` a new directory,
    and `@BIN@` the directory of Cargo's binaries."""
    title: str
    command: list
    urls: list = field(default_factory=lambda: PLAIN)
    helpers: list = field(default_factory=list)
    # A file or program by which an installed Debian package is recognized, and the package.
    needs: dict = field(default_factory=dict)
    # Number of bytes of a body that are not data.
    extra_bytes: int = 0

    def missing(self):
        """The Debian packages that are not installed."""
        return [package for shown_by, package in self.needs.items()
                if not (os.path.exists(shown_by) or shutil.which(shown_by))]


NGINX = {"nginx": "nginx-light"}
STENTOR = ["@STENTOR@", "serve", *LISTEN]
SERVERS = {
    "stentor": Server("Stentor, in memory", STENTOR + ["--memory"], TOPICS),
    "stentor-durable": Server("Stentor, on disk", STENTOR + ["--data", "@DIR@/data"], TOPICS),
    "stentor-hyper": Server("Stentor via hyper", STENTOR + ["--memory", "--no-takeover"], TOPICS),
    "axum": Server("axum + broadcast", ["@BIN@/broadcast", f"127.0.0.1:{PORT}"]),
    "nchan": Server(
        "nginx + nchan", ["nginx", "-c", "@nchan.conf@"],
        needs=NGINX | {"/usr/lib/nginx/modules/ngx_nchan_module.so": "libnginx-mod-nchan"}),
    "pushpin": Server(
        "Pushpin", ["pushpin", "--config=@pushpin.conf@"],
        ["--url", URL + "/sub/t{topic}", "--publish", "http://127.0.0.1:5561/publish/",
         "--content-type", "application/json", "--body", GRIP],
        helpers=[["nginx", "-c", "@origin.conf@"], ["zurl", "--config=@zurl.conf@"]],
        needs=NGINX | {"pushpin": "pushpin", "zurl": "zurl"}, extra_bytes=GRIP_EXTRA_BYTES),
    "floor": Server("bare epoll loop", ["@BIN@/floor", f"127.0.0.1:{PORT}"]),
    "floor-batch": Server("bare loop, batching", ["@BIN@/floor", "--batch", f"127.0.0.1:{PORT}"]),
}
# Not servers, but the cost of the system calls alone.
BASELINES = ("floor", "floor-batch")


def prepare(command, where, binaries, stentor):
    """Replaces the placeholders of a command, and writes the files that it names."""
    values = {"@DIR@": where, "@BIN@": binaries, "@STENTOR@": stentor, "@PORT@": str(PORT), "@BEHIND@": str(BEHIND)}

    def filled(text):
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    words = []
    for word in map(filled, command):
        before, at, rest = word.partition("@")
        if at:
            name = rest.rstrip("@")
            with open(f"{PEERS}/{name}") as template, open(f"{where}/{name}", "w") as file:
                file.write(filled(template.read()))
            word = f"{before}{where}/{name}"
        words.append(word)
    return words
