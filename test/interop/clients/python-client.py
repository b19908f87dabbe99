"""Asks for each path on a connection of its own, offering the session of the one before; prints whether it was resumed.

Arguments: server name, port, files of the authority, the client's certificate and key ("" for none), paths.
"""

import socket
import ssl
import sys

server_name, port, authority, certificate, key, *paths = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(authority)
if certificate:
    context.load_cert_chain(certificate, key)

session = None
for path in paths:
    with socket.create_connection(("127.0.0.1", int(port))) as plain:
        with context.wrap_socket(plain, server_hostname=server_name, session=session) as secure:
            secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {server_name}\r\nConnection: close\r\n\r\n".encode())
            while secure.recv(4096):
                pass
            # The tickets of TLS 1.3 come after the handshake, before the response.
            session = secure.session
            print(str(secure.session_reused).lower())
