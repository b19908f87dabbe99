import { testProjects } from './harness.ts'
import { PROJECTS } from './projects.ts'

testProjects(PROJECTS)
