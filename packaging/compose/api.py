"""An example API behind nginx: answers with the identity that scopegate passed on."""

from http.server import BaseHTTPRequestHandler, HTTPServer
import json


class Items(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"items": ["red ball"], "subject": self.headers.get("X-Auth-Subject")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", 9001), Items).serve_forever()
