import { useEffect, useState } from "react";

export type Theme = "system" | "light" | "dark";

/** A choice that survives a reload; where storage is denied it lasts as long as the page. */
export function usePreference<T extends string>(name: string, allowed: readonly T[], initial: T): [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => {
    const stored = read(name);
    return allowed.find((candidate) => candidate === stored) ?? initial;
  });
  const choose = (next: T) => {
    setValue(next);
    try {
      localStorage.setItem(name, next);
    } catch {
      // Private windows may forbid it.
    }
  };
  return [value, choose];
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function useTheme(theme: Theme): void {
  useEffect(() => {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
}
