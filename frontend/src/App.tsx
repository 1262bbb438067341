import { useEffect, useMemo } from "react";
import { Gaps } from "./components/Gaps";
import { Header } from "./components/Header";
import { preferredLanguage, TranslateContext, translator, type Language } from "./i18n";
import { useLive, useNow } from "./live/hooks";
import { usePreference, useTheme, type Theme } from "./preferences";
import { useFocusOnChange, useRoute } from "./routes";
import { Autoscalers } from "./views/Autoscalers";
import { Events } from "./views/Events";
import { Overview } from "./views/Overview";
import { Pods } from "./views/Pods";
import { Simulations } from "./views/Simulations";
import { Stacks } from "./views/Stacks";

const themes: readonly Theme[] = ["system", "light", "dark"];
const languages: readonly Language[] = ["en", "es"];
const live = { overview: Overview, autoscalers: Autoscalers, pods: Pods, events: Events, stacks: Stacks } as const;

export function App() {
  const [theme, setTheme] = usePreference("marea.theme", themes, "system");
  const [language, setLanguage] = usePreference("marea.language", languages, preferredLanguage(navigator.languages));
  const t = useMemo(() => translator(language), [language]);
  const route = useRoute();
  const { connection, model } = useLive();
  const now = useNow();
  useTheme(theme);
  useFocusOnChange(route.view);
  useEffect(() => {
    document.documentElement.lang = language;
    document.title = route.view === "overview" ? "marea" : `${t(`nav.${route.view}`)} · marea`;
  }, [language, route.view, t]);

  const View = route.view === "simulations" ? undefined : live[route.view];
  return (
    <TranslateContext value={t}>
      <a className="skip" href="#content">
        {t("app.skip")}
      </a>
      <Header view={route.view} cluster={model?.cluster} connection={connection} theme={theme} setTheme={setTheme} language={language} setLanguage={setLanguage} />
      <main id="content" tabIndex={-1}>
        {View === undefined ? (
          <Simulations id={route.id} now={now} />
        ) : model === undefined ? (
          <p className="loading" role="status">
            {t("app.loading")}
          </p>
        ) : (
          <>
            <Gaps gaps={model.cluster.gaps} />
            <View model={model} now={now} />
          </>
        )}
      </main>
    </TranslateContext>
  );
}
