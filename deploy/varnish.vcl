# Varnish in front of a server of event streams. docs/deploy.md has the measurements, tests/deploy repeats them with this file.
#
# Set the address, then:
#
#   varnishd -f /etc/varnish/varnish.vcl -a 127.0.0.1:8000 -s malloc,256m -p pipe_timeout=60
#
# `pipe_timeout` cuts a stream after this time without a byte. The keep-alive (default: 15 s) must be shorter.
# Varnish has no TLS: put haproxy in front of it for TLS and HTTP/2.

vcl 4.1;

backend app {
    .host = "127.0.0.1:8080";
}

sub vcl_recv {
    # A stream passes through as bytes. Otherwise Varnish reads as fast as the server writes, into its memory, and the server
    # learns late that a client has left. Browsers send this `Accept`; the path is for clients that do not.
    if (req.http.Accept ~ "text/event-stream" || req.url ~ "^/events(\?|$)") {
        return (pipe);
    }
}

sub vcl_pipe {
    # All later requests of the connection would pass Varnish unseen. The server closes it after the stream.
    set bereq.http.Connection = "close";
}
