import { useCallback, useEffect, useSyncExternalStore, type MouseEvent, type ReactNode } from "react";

/** The views, in the order of the navigation; each is a path of its own, so that it can be linked to. */
export const views = ["overview", "autoscalers", "pods", "events", "stacks", "simulations"] as const;
export type View = (typeof views)[number];

/** Where a view is, and in it one thing by its id. */
export const path = (view: View, id?: string): string => (view === "overview" ? "/" : `/${view}${id === undefined ? "" : `/${encodeURIComponent(id)}`}`);

export interface Route {
  view: View;
  id: string | undefined;
}

/** An unknown path is the overview: nginx answers every path with the page. */
export function parse(pathname: string): Route {
  const [first = "", second] = pathname.split("/").filter((part) => part !== "");
  const view = views.find((candidate) => candidate === first && candidate !== "overview");
  return { view: view ?? "overview", id: view && second !== undefined ? decoded(second) : undefined };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const listeners = new Set<() => void>();
const notify = () => listeners.forEach((listener) => listener());

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

export function go(to: string): void {
  window.history.pushState(null, "", to);
  notify();
}

export function useRoute(): Route {
  const pathname = useSyncExternalStore(subscribe, () => window.location.pathname);
  return parse(pathname);
}

/** Says to a screen reader that there is another view: the focus goes to the content, and the page scrolls up. */
export function useFocusOnChange(view: View): void {
  useEffect(() => {
    if (document.activeElement?.closest("nav") === null) return;
    document.getElementById("content")?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [view]);
}

interface LinkProperties {
  to: string;
  current?: boolean;
  className?: string;
  children: ReactNode;
}

export function Link({ to, current = false, className, children }: LinkProperties) {
  const follow = useCallback(
    (event: MouseEvent) => {
      // Another tab or window is the browser's matter.
      if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      go(to);
    },
    [to],
  );
  return (
    <a href={to} onClick={follow} className={className} aria-current={current ? "page" : undefined}>
      {children}
    </a>
  );
}
