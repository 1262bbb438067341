import { useEffect, useMemo } from "react";
import { Events } from "./components/Events";
import { Gaps } from "./components/Gaps";
import { Header } from "./components/Header";
import { Hpas } from "./components/Hpas";
import { Stacks } from "./components/Stacks";
import { Summary } from "./components/Summary";
import { Topology } from "./components/Topology";
import { preferredLanguage, TranslateContext, translator, type Language } from "./i18n";
import { useDatabase, useLive, useNow } from "./live/hooks";
import { usePreference, useTheme, type Theme } from "./preferences";

const themes: readonly Theme[] = ["system", "light", "dark"];
const languages: readonly Language[] = ["en", "es"];

export function App() {
  const [theme, setTheme] = usePreference("marea.theme", themes, "system");
  const [language, setLanguage] = usePreference("marea.language", languages, preferredLanguage(navigator.languages));
  const t = useMemo(() => translator(language), [language]);
  const { connection, model } = useLive();
  const database = useDatabase();
  const now = useNow();
  useTheme(theme);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  return (
    <TranslateContext value={t}>
      <a className="skip" href="#content">
        {t("app.skip")}
      </a>
      <Header cluster={model?.cluster} connection={connection} theme={theme} setTheme={setTheme} language={language} setLanguage={setLanguage} />
      <main id="content" tabIndex={-1}>
        {model === undefined ? (
          <p className="loading" role="status">
            {t("app.loading")}
          </p>
        ) : (
          <>
            <Gaps gaps={model.cluster.gaps} />
            <Summary cluster={model.cluster} database={database} />
            <Topology model={model} />
            <Hpas hpas={model.hpas} replicas={model.replicas} now={now} />
            <div className="columns">
              <Events events={model.events} now={now} />
              <Stacks stacks={model.stacks} now={now} />
            </div>
          </>
        )}
      </main>
    </TranslateContext>
  );
}
