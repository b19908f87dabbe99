// Asks for each path on a connection of its own, with one session cache; prints whether it was resumed.
//
// Arguments: server name, port, files of the authority, the client's certificate and key ("" for none), paths.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

func main() {
	serverName, port, authority, certificate, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(authority)))
	config := &tls.Config{ServerName: serverName, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if certificate != "" {
		config.Certificates = []tls.Certificate{must(tls.LoadX509KeyPair(certificate, key))}
	}
	for _, path := range os.Args[6:] {
		connection := must(tls.Dial("tcp", "127.0.0.1:"+port, config))
		fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, serverName)
		// The tickets of TLS 1.3 come after the handshake, before the response.
		must(io.Copy(io.Discard, connection))
		fmt.Println(connection.ConnectionState().DidResume)
		connection.Close()
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
