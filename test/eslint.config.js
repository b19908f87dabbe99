import tseslint from 'typescript-eslint'

// Biome does the rest; these four need types. A lost promise is a handshake that never ends.
export default tseslint.config(
  { ignores: ['**/packaging/projects'] },
  {
    files: ['**/*.ts'],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: {
        project: 'test/tsconfig.json',
        tsconfigRootDir: new URL('..', import.meta.url).pathname,
      },
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
)
