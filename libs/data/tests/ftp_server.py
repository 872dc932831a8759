"""The program of `servers.FtpServer`: one JSON object as its argument says how the server behaves.

root, port, log: where; without: commands it does not know; cut: bytes after which each data connection is cut, per line;
slow: bytes/s; pasv: the address it gives in answer to PASV; user/password: beside the anonymous who may do everything;
crowded: so many times 421 at first; stern: it renames over nothing that exists; nobody: no anonymous;
short: so many uploads of which it keeps one byte.
"""

import json
import logging
import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS, FilesystemError
from pyftpdlib.handlers import DTPHandler, FTPHandler, ThrottledDTPHandler
from pyftpdlib.servers import FTPServer

how = json.loads(sys.argv[1])
cuts = list(how.get("cut", ()))
crowded = how.get("crowded", 0)
short = how.get("short", 0)


class Data(ThrottledDTPHandler if how.get("slow") else DTPHandler):
    read_limit = write_limit = how.get("slow", 0)

    def __init__(self, sock, cmd_channel):
        super().__init__(sock, cmd_channel)
        self.left = cuts.pop(0) if cuts else None

    def send(self, data):
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
            if not data:
                self.close()
                self.cmd_channel.close()
                return 0
        return super().send(data)


class Stern(AbstractedFS):
    def rename(self, src, dst):
        if how.get("stern") and os.path.exists(dst):
            raise FilesystemError("it exists")
        super().rename(src, dst)


class Server(FTPHandler):
    abstracted_fs = Stern
    auth_failed_timeout = 0
    dtp_handler = Data
    use_sendfile = False
    proto_cmds = {k: v for k, v in FTPHandler.proto_cmds.items() if k not in how.get("without", ())}
    masquerade_address = how.get("pasv")

    def on_connect(self):
        global crowded
        if crowded:
            crowded -= 1
            self.respond("421 Too many connections.")
            self.close_when_done()

    def on_file_received(self, file):
        global short
        if short:
            short -= 1
            os.truncate(file, 1)

    def pre_process_command(self, line, cmd, arg):
        with open(how["log"], "a") as log:
            log.write(line + "\n")
        super().pre_process_command(line, cmd, arg)


Server.authorizer = DummyAuthorizer()
Server.authorizer.add_anonymous(how["root"], perm="elradfmwMT")
if how.get("user"):
    Server.authorizer.add_user(how["user"], how["password"], how["root"], perm="elradfmwMT")
if how.get("nobody"):
    Server.authorizer.remove_user("anonymous")
logging.basicConfig(level=logging.ERROR)
FTPServer(("127.0.0.1", how["port"]), Server).serve_forever()
