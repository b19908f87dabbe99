/** @param random - as Math.random @returns the items in an order that was drawn, each as likely as any other */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const drawn: T[] = []
  const left = [...items]
  while (left.length > 0) drawn.push(...left.splice(Math.floor(random() * left.length), 1))
  return drawn
}
