import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Certificate } from '../tools/certificate.ts'
import { endProcess, freePort, startProgram } from '../tools/server-process.ts'
import { cpuUsOf, onMeasuredCpu } from './programs.ts'
import type { Target } from './tls-load.ts'

/** nginx in one process, with a shared session cache and no tickets. */
export async function nginxServer({ key, cert }: Certificate): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), 'sslctx-bench-nginx-'))
  const port = await freePort()
  writeFileSync(join(directory, 'key.pem'), key)
  writeFileSync(join(directory, 'cert.pem'), cert)
  writeFileSync(join(directory, 'nginx.conf'), configuration(directory, port))
  const [command = '', ...options] = onMeasuredCpu(
    'nginx',
    ...['-c', join(directory, 'nginx.conf'), '-p', directory, '-e', 'stderr'],
  )
  const child = await startProgram(command, options, port)
  return {
    port,
    processes: 1,
    cpuUs: () => cpuUsOf([child.pid ?? 0]),
    async stop() {
      await endProcess(child, 'SIGTERM')
      rmSync(directory, { recursive: true })
    },
  }
}

function configuration(directory: string, port: number): string {
  return `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${directory}/cert.pem;
    ssl_certificate_key ${directory}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:bench:20m;
    ssl_session_tickets off;
    ssl_session_timeout 2h;
  }
}
`
}
