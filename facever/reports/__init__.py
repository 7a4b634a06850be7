"""Results for people: tables, pages that stand alone, plots, model cards."""
