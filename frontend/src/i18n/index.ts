import { createContext, useContext } from "react";
import { en } from "./en";
import { es } from "./es";

export type Key = keyof typeof en;
export type Language = "en" | "es";
export type Translate = (key: Key, values?: Record<string, string | number>) => string;

const texts: Record<Language, Record<Key, string>> = { en, es };

export const translator =
  (language: Language): Translate =>
  (key, values = {}) =>
    texts[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));

export const preferredLanguage = (languages: readonly string[]): Language => (languages.find((language) => /^(en|es)\b/i.test(language))?.toLowerCase().startsWith("es") ? "es" : "en");

export const TranslateContext = createContext<Translate>(translator("en"));
export const useTranslate = (): Translate => useContext(TranslateContext);
