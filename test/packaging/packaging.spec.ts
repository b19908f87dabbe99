import { testProjects } from './harness.ts'
import { LONGER_PROJECTS } from './projects.ts'

testProjects(LONGER_PROJECTS)
