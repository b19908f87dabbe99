import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const GO_SERVER = `package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: os.Args[4] == "off"}
	switch os.Args[5] {
	case "require-certificate":
		config.ClientAuth = tls.RequireAnyClientCert
	case "trust-nobody":
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
	case "old":
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	case "fail":
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	hello := func(response http.ResponseWriter, _ *http.Request) { io.WriteString(response, "hello") }
	log.Fatal(http.Serve(tls.NewListener(listener, config), http.HandlerFunc(hello)))
}
`

/** @returns the program, in the folder; its arguments: port, certificate, key, tickets on or off, whom it refuses */
export function compileGoServer(folder: string): string {
  const program = join(folder, 'server')
  writeFileSync(join(folder, 'server.go'), GO_SERVER)
  execFileSync('go', ['build', '-o', program, join(folder, 'server.go')], {
    env: { ...process.env, GOFLAGS: '-mod=mod', GO111MODULE: 'off' },
    stdio: 'pipe',
  })
  return program
}
