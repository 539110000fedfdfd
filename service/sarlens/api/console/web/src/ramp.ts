// Cividis, a color map that is read alike with and without color blindness (Nuñez, Anderton, Renslow 2018).
const STOPS = ["00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a59c74", "c3b369", "e1cc55", "fee838"].map(
  (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)),
);

export const YES = cividis(1, 1);
export const NO = cividis(0.35, 1);

/** The color of a value from 0 to 1. */
export function cividis(value: number, alpha: number): string {
  const at = Math.min(1, Math.max(0, value)) * (STOPS.length - 1);
  const low = STOPS[Math.floor(at)] ?? [0, 0, 0];
  const high = STOPS[Math.ceil(at)] ?? low;
  const mix = low.map((channel, i) => Math.round(channel + ((high[i] ?? 0) - channel) * (at % 1)));
  return `rgba(${mix.join(",")},${alpha})`;
}
