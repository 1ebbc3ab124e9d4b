"""The workbench: choose a task, run it, watch the pool at work, stop it.

The only folder that imports ipywidgets and plotly, and only once a workbench is opened. Its rooms, from the inside out:

    series.py   series of bounded size: levels over time, clouds of points
    state.py    what a run looks like, as plain data; no widget in it
    words.py    how it stands, in words and HTML
    watch.py    the thread that looks at a run four times a second
    charts.py   the figure
    form.py     the inputs and buttons
    view.py     the Workbench that holds them together
"""
