"""Azure Machine Learning; nothing else in pdm imports ``azure``."""
